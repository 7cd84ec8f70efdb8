;; Counts visits in the store, under the key "visits".
(module
  (import "kv" "put" (func $put (param i32 i32 i32 i32)))
  (import "kv" "get" (func $get (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "visits")

  ;; The number of this visit. Where the store has no number, the word at 16 is 0 already.
  (func $visit (export "visit") (result i32)
    (drop (call $get (i32.const 0) (i32.const 6) (i32.const 16) (i32.const 4)))
    (i32.store (i32.const 16) (i32.add (i32.load (i32.const 16)) (i32.const 1)))
    (call $put (i32.const 0) (i32.const 6) (i32.const 16) (i32.const 4))
    (i32.load (i32.const 16)))

  (func (export "visits") (param $n i32) (result i32)
    (local $sum i32)
    (loop $again
      (local.set $sum (i32.add (local.get $sum) (call $visit)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum)))
