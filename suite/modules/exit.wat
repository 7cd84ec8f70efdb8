;; An exit ends everything, through host functions that wait.
(module
  (import "suite" "log" (func $log (param i32)))
  (import "suite" "sleep" (func $sleep (param i32)))
  (import "suite" "call" (func $call (param i32 i32) (result i32)))
  (import "suite" "exit" (func $exit (param i32)))
  (table (export "__indirect_function_table") 2 funcref) (elem (i32.const 1) $f)
  (func $f (param i32) (result i32) (call $sleep (i32.const 1)) (call $exit (local.get 0)) (unreachable))
  (func (export "run") (drop (call $call (i32.const 1) (i32.const 3))) (call $log (i32.const 9)))
)
