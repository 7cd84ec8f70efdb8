;; Reads all that comes, four bytes at a time, into its memory from 16 on. What it has so far stays between calls: its
;; length is the word at 0.
(module
  (import "net" "recv" (func $recv (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)

  ;; 0 at the end of the stream, or the error that it met.
  (func (export "drain") (param $fd i32) (param $timeout_ms i32) (result i32)
    (local $n i32)
    (loop $again
      (local.set $n
        (call $recv
          (local.get $fd)
          (i32.add (i32.const 16) (i32.load (i32.const 0))) (i32.const 4)
          (local.get $timeout_ms)))
      (if (i32.le_s (local.get $n) (i32.const 0)) (then (return (local.get $n))))
      (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (local.get $n)))
      (br $again))
    (unreachable)))
