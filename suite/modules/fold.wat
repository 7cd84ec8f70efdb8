;; A host function that calls the guest again and again, and keeps a value in between.
(module
  (import "suite" "sleep" (func $sleep (param i32)))
  (import "suite" "fold" (func $fold (param i32 i32) (result i32)))
  (table (export "__indirect_function_table") 2 funcref) (elem (i32.const 1) $f)
  (func $f (param i32 i32) (result i32) (call $sleep (local.get 1))
    (i32.add (i32.mul (local.get 0) (i32.const 2)) (local.get 1)))
  (func (export "run") (result i32) (call $fold (i32.const 1) (i32.const 5)))
)
