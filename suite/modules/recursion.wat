;; Calls within calls; each frame's local is its own.
(module
  (import "suite" "sleep" (func $sleep (param i32)))
  (func $f (param $n i32) (result i32)
    (if (result i32) (local.get $n)
      (then (i32.add (local.get $n) (call $f (i32.sub (local.get $n) (i32.const 1)))))
      (else (call $sleep (i32.const 1)) (i32.const 0))))
  (func (export "run") (param i32) (result i32) (call $f (local.get 0)))
)
