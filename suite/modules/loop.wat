;; A loop with live locals, a global and memory.
(module
  (memory (export "memory") 1) (global $g (mut i64) (i64.const 1))
  (func (export "run") (param $n i32) (result i64) (local $i i32) (local $s i64)
    (loop $l
      (global.set $g (i64.mul (global.get $g) (i64.const 3)))
      (local.set $s (i64.add (local.get $s) (global.get $g)))
      (i32.store (i32.mul (local.get $i) (i32.const 4)) (i32.wrap_i64 (local.get $s)))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
    (local.get $s))
)
