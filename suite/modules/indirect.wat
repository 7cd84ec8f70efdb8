;; A table that changes while functions from it run, and calls through it.
(module
  (import "suite" "log" (func $log (param i32)))
  (import "suite" "sleep" (func $sleep (param i32)))
  (type $t (func (param i32) (result i32)))
  (table 2 2 funcref) (elem (i32.const 0) $one $two) (elem declare func $two)
  (func $one (type $t) (call $sleep (i32.const 5)) (table.set (i32.const 0) (ref.func $two)) (i32.add (local.get 0) (i32.const 1)))
  (func $two (type $t) (call $log (local.get 0)) (i32.mul (local.get 0) (i32.const 2)))
  (func (export "run") (result i32)
    (call_indirect (type $t) (call_indirect (type $t) (i32.const 10) (i32.const 0)) (i32.const 0)))
)
