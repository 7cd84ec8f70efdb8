;; Takes the lock and gives it back.
(module
  (import "locks" "lock" (func $lock))
  (import "locks" "unlock" (func $unlock))
  (export "lock" (func $take))
  (export "unlock" (func $unlock))

  (func $take (call $lock))

  ;; Enters n times, and checks nothing: that is the lock's business.
  (func (export "work") (param $n i32) (result i32)
    (local $done i32)
    (loop $again
      (call $lock)
      (local.set $done (i32.add (local.get $done) (i32.const 1)))
      (call $unlock)
      (br_if $again (i32.lt_u (local.get $done) (local.get $n))))
    (local.get $done)))
