;; Adds n numbers that its host gives it.
(module
  (import "source" "next" (func $next (result i32)))
  (func $sum (export "sum") (param $n i32) (result i32)
    (local $total i32)
    (loop $again
      (local.set $total (i32.add (local.get $total) (call $next)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $total)))
