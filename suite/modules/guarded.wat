;; What a host function opened is closed once, however the call ends.
(module
  (import "suite" "guarded" (func $guarded (param i32 i32)))
  (func (export "run") (call $guarded (i32.const 1) (i32.const 5)) (call $guarded (i32.const 2) (i32.const 5)))
)
