(module
  (import "web" "fetch" (func $fetch (param i32 i32) (result i32)))
  (import "web" "read" (func $read (param i32 i32 i32) (result i32)))
  (import "web" "close" (func $close (param i32)))
  (memory (export "memory") 1)
  ;; Fetches the URL of `size` bytes at 16 and puts the page at 1024, eight bytes at a time: its size, or an error.
  (func (export "load") (param $size i32) (result i32) (local $page i32) (local $n i32) (local $at i32)
    (local.set $page (call $fetch (i32.const 16) (local.get $size)))
    (if (i32.lt_s (local.get $page) (i32.const 0)) (then (return (local.get $page))))
    (local.set $at (i32.const 1024))
    (loop $more
      (local.set $n (call $read (local.get $page) (local.get $at) (i32.const 8)))
      (local.set $at (i32.add (local.get $at) (local.get $n)))
      (br_if $more (i32.gt_s (local.get $n) (i32.const 0))))
    (call $close (local.get $page))
    (i32.sub (local.get $at) (i32.const 1024))))
