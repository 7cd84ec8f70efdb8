;; Values on the operand stack below a call and a block, when the callee is suspended.
(module
  (import "suite" "sleep" (func $sleep (param i32)))
  (func $f (param i32) (result i32) (call $sleep (i32.const 10)) (i32.mul (local.get 0) (i32.const 7)))
  (func (export "run") (result i64 i32 f64)
    (i64.const -2)
    (i32.const 100) (i32.const 5) (call $f) (i32.add)
    (f64.const 0.5) (block (param f64) (result f64) (f64.convert_i32_s (call $f (i32.const 3))) (f64.add)))
)
