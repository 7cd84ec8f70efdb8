;; Sleeps n times for ms milliseconds, by turns in either style.
(module
  (import "bed" "nap" (func $nap (param i32)))
  (import "bed" "doze" (func $doze (param i32)))

  (func (export "night") (param $n i32) (param $ms i32) (result i32)
    (local $done i32)
    (loop $again
      (if (i32.and (local.get $done) (i32.const 1))
        (then (call $doze (local.get $ms)))
        (else (call $nap (local.get $ms))))
      (local.set $done (i32.add (local.get $done) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $done) (local.get $n))))
    (local.get $done)))
