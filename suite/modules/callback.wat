;; A host function calls the guest, which waits in another.
(module
  (import "suite" "log" (func $log (param i32)))
  (import "suite" "sleep" (func $sleep (param i32)))
  (import "suite" "call" (func $call (param i32 i32) (result i32)))
  (table (export "__indirect_function_table") 2 funcref) (elem (i32.const 1) $f)
  (func $f (param i32) (result i32) (call $log (local.get 0)) (call $sleep (i32.const 10)) (i32.add (local.get 0) (i32.const 1)))
  (func (export "run") (result i32) (i32.add (call $call (i32.const 1) (i32.const 20)) (call $call (i32.const 1) (i32.const 20))))
)
