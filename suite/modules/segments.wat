;; A passive segment is still there after a suspension, and gone after it was dropped.
(module
  (import "suite" "sleep" (func $sleep (param i32)))
  (memory (export "memory") 1) (data $d "abcdef")
  (func (export "run") (result i32)
    (memory.init $d (i32.const 0) (i32.const 0) (i32.const 3)) (call $sleep (i32.const 1))
    (memory.init $d (i32.const 3) (i32.const 3) (i32.const 3)) (data.drop $d) (call $sleep (i32.const 1))
    (memory.init $d (i32.const 6) (i32.const 0) (i32.const 0)) (memory.grow (i32.const 2)))
)
