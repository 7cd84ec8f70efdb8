;; Asks to be greeted. Its malloc takes a new page for every piece, so that the memory grows under the host function.
(module
  (import "lib" "greet" (func $greet (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "world")

  ;; 0 where the memory can't grow. Asked for what no page holds, it traps, as an allocator whose lists are broken.
  (func (export "malloc") (param $size i32) (result i32)
    (local $page i32)
    (if (i32.gt_u (local.get $size) (i32.const 65536)) (then (unreachable)))
    (local.set $page (memory.grow (i32.const 1)))
    (if (i32.eq (local.get $page) (i32.const -1)) (then (return (i32.const 0))))
    (i32.mul (local.get $page) (i32.const 65536)))

  (func $hello (export "hello") (result i32)
    (call $greet (i32.const 0) (i32.const 5)))

  ;; Greeted n times; the address of the last greeting.
  (func (export "hellos") (param $n i32) (result i32)
    (local $addr i32)
    (loop $again
      (local.set $addr (call $hello))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $addr))

  ;; A name that is far too long: the whole page.
  (func (export "shout") (result i32)
    (call $greet (i32.const 0) (i32.const 65536))))
