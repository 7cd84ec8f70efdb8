;; A start function is suspended like any call.
(module
  (import "suite" "log" (func $log (param i32)))
  (import "suite" "sleep" (func $sleep (param i32)))
  (global $g (mut i32) (i32.const 0))
  (func $s (call $sleep (i32.const 7)) (global.set $g (i32.add (global.get $g) (i32.const 5))) (call $log (i32.const 1)))
  (start $s)
  (func (export "run") (result i32) (global.get $g))
)
