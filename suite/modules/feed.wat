;; What comes from outside is taken once.
(module
  (import "suite" "sleep" (func $sleep (param i32)))
  (import "suite" "next" (func $next (result i32)))
  (func (export "run") (result i32) (local $n i32) (local $s i32)
    (loop $l (local.set $n (call $next))
      (if (i32.ne (local.get $n) (i32.const -1)) (then
        (local.set $s (i32.add (i32.mul (local.get $s) (i32.const 10)) (local.get $n))) (call $sleep (i32.const 1)) (br $l))))
    (local.get $s))
)
