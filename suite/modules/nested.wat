;; Host and guest call each other, four deep, with a wait in the innermost.
(module
  (import "suite" "log" (func $log (param i32)))
  (import "suite" "sleep" (func $sleep (param i32)))
  (import "suite" "call" (func $call (param i32 i32) (result i32)))
  (table (export "__indirect_function_table") 2 funcref) (elem (i32.const 1) $f)
  (func $f (param $n i32) (result i32)
    (call $log (local.get $n))
    (if (result i32) (local.get $n)
      (then (i32.add (i32.const 1) (call $call (i32.const 1) (i32.sub (local.get $n) (i32.const 1)))))
      (else (call $sleep (i32.const 50)) (i32.const 100))))
  (func (export "run") (result i32) (call $call (i32.const 1) (i32.const 3)))
)
