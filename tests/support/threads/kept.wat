;; Threads that compute, wait in the memory, in poll_oneoff and in a host function, and begin another one; the result
;; has a digit of each, so it tells whether each did its work once. Each has a start function, too.
(module
  (import "env" "memory" (memory 1 4 shared))
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "h" "nap" (func $nap (param i32) (result i32)))
  (export "memory" (memory 0))
  (global $own (mut i32) (i32.const 0))

  ;; 0: sum; 4: threads that have ended; 8: the gate; 12: begun; 16: how many have passed the line, and from 32 who
  (func $add (param i32)
    (drop (i32.atomic.rmw.add (i32.const 0) (local.get 0)))
    (drop (i32.atomic.rmw.add (i32.const 4) (i32.const 1)))
    (drop (memory.atomic.notify (i32.const 4) (i32.const -1))))
  (func $begin
    (global.set $own (i32.const 1))
    (drop (i32.atomic.rmw.add (i32.const 12) (i32.const 1))))
  (start $begin)

  (func $compute (result i32) (local $n i32) (local $sum i32)
    (local.set $n (i32.const 40))
    (loop $l
      (local.set $sum (i32.add (local.get $sum) (i32.and (local.get $n) (i32.const 1))))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32.div_u (local.get $sum) (i32.const 20)))
  (func $polled (result i32)
    ;; the monotonic clock, in a millisecond; the number of events, 1
    (i32.store (i32.const 528) (i32.const 1))
    (i64.store (i32.const 536) (i64.const 1000000))
    (drop (call $poll (i32.const 512) (i32.const 640) (i32.const 1) (i32.const 700)))
    (i32.load (i32.const 700)))

  (func (export "wasi_thread_start") (param $tid i32) (param $arg i32)
    (block $line (block $host (block $polls (block $waits (block $more
      (br_table $more $waits $polls $host $line (local.get $arg)))
      (drop (call $spawn (i32.const 3)))
      (call $add (i32.mul (global.get $own) (call $compute))) (return))
      ;; until the gate opens
      (loop $again (if (i32.eqz (i32.atomic.load (i32.const 8))) (then
        (drop (memory.atomic.wait32 (i32.const 8) (i32.const 0) (i64.const -1))) (br $again))))
      (call $add (i32.const 10)) (return))
      (call $add (i32.mul (i32.const 100) (call $polled)))
      (i32.atomic.store (i32.const 8) (i32.const 1))
      (drop (memory.atomic.notify (i32.const 8) (i32.const -1))) (return))
      (call $add (i32.mul (i32.const 1000) (call $nap (i32.const 1)))) (return))
    ;; in line, for as long as it takes
    (drop (memory.atomic.wait32 (i32.const 20) (i32.const 0) (i64.const -1)))
    (i32.store (i32.add (i32.const 32) (i32.mul (i32.const 4) (i32.atomic.rmw.add (i32.const 16) (i32.const 1))))
      (local.get $tid))
    (call $add (i32.const 0)))

  (func $join (param $count i32) (local $now i32)
    (loop $again (if (i32.lt_u (local.tee $now (i32.atomic.load (i32.const 4))) (local.get $count)) (then
      (drop (memory.atomic.wait32 (i32.const 4) (local.get $now) (i64.const 3600000000000))) (br $again)))))

  (func (export "run") (result i32)
    (drop (call $spawn (i32.const 0)))
    (drop (call $spawn (i32.const 1)))
    (drop (call $spawn (i32.const 2)))
    (call $join (i32.const 4))
    ;; four threads and the main one have begun
    (i32.add (i32.atomic.load (i32.const 0)) (i32.mul (i32.const 10000) (i32.atomic.load (i32.const 12)))))

  ;; Three in a line; they are let pass one by one.
  (func (export "line") (local $n i32)
    (loop $l
      (drop (call $spawn (i32.const 4)))
      (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 3))))
    (drop (call $nap (i32.const 50)))
    (loop $l
      (drop (memory.atomic.notify (i32.const 20) (i32.const 1)))
      (call $join (i32.sub (i32.const 4) (local.get $n)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))
