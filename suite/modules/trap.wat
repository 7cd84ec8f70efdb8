;; A trap after suspensions is the same trap, and what was done before it stays done.
(module
  (import "suite" "log" (func $log (param i32)))
  (import "suite" "sleep" (func $sleep (param i32)))
  (memory (export "memory") 1)
  (func (export "run") (param i32) (result i32)
    (i32.store (i32.const 8) (i32.const 77)) (call $sleep (i32.const 3)) (call $log (i32.const 1))
    (i32.div_s (i32.const 1) (local.get 0)))
)
