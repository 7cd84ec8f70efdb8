;; Waits take as long as without suspensions.
(module
  (import "suite" "log" (func $log (param i32)))
  (import "suite" "sleep" (func $sleep (param i32)))
  (func (export "run") (local $i i32)
    (loop $l (call $sleep (i32.const 100)) (call $log (local.get $i))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 4)))))
)
