;; Puts items one behind the other into its memory from 16 on, until an empty one comes; how many bytes they were.
(module
  (import "q" "pop" (func $pop (param i32 i32) (result i32)))
  (memory (export "memory") 1)

  (func (export "collect") (result i32)
    (local $end i32)
    (local $n i32)
    (local.set $end (i32.const 16))
    (loop $again
      (local.set $n (call $pop (local.get $end) (i32.const 16)))
      (local.set $end (i32.add (local.get $end) (local.get $n)))
      (br_if $again (local.get $n)))
    (i32.sub (local.get $end) (i32.const 16))))
