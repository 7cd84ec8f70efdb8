;; Pays an amount if somebody approves; what was paid.
(module
  (import "human" "approve" (func $approve (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "May I pay the bill?")

  (func (export "pay") (param $amount i32) (result i32)
    (if (result i32) (call $approve (i32.const 0) (i32.const 19))
      (then (local.get $amount))
      (else (i32.const 0)))))
