;; Many threads: those that come and go, those that grow the memory at once, and those that compute meanwhile.
(module
  (import "env" "memory" (memory 1 64 shared))
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (export "memory" (memory 0))

  (func $add (param $at i32) (param $by i32)
    (drop (i32.atomic.rmw.add (local.get $at) (local.get $by)))
    (drop (memory.atomic.notify (local.get $at) (i32.const -1))))
  ;; Wait until the number there is `to`.
  (func $await (param $at i32) (param $to i32) (local $now i32)
    (loop $again
      (if (i32.ne (local.tee $now (i32.atomic.load (local.get $at))) (local.get $to))
        (then
          (drop (memory.atomic.wait32 (local.get $at) (local.get $now) (i64.const -1)))
          (br $again)))))
  ;; Spawn, trying again while there can be no more threads.
  (func $surely (param $arg i32)
    (loop $again (br_if $again (i32.le_s (call $spawn (local.get $arg)) (i32.const 0)))))

  ;; Grow page by page to the maximum. Each old size is counted in the byte at 1024 + size.
  (func $grow (local $old i32)
    (loop $again
      (if (i32.ge_s (local.tee $old (memory.grow (i32.const 1))) (i32.const 0))
        (then
          (drop (i32.atomic.rmw8.add_u offset=1024 (local.get $old) (i32.const 1)))
          (i32.store (i32.shl (local.get $old) (i32.const 16)) (local.get $old))
          (br $again)))))
  ;; Store and look, until the number at 8 is not 0.
  (func $busy (param $at i32) (local $n i32)
    (loop $again
      (i32.store (local.get $at) (local.tee $n (i32.add (local.get $n) (i32.const 1))))
      (if (i32.ne (i32.load (local.get $at)) (local.get $n)) (then (unreachable)))
      (br_if $again (i32.eqz (i32.atomic.load (i32.const 8))))))

  (func (export "wasi_thread_start") (param $tid i32) (param $arg i32)
    (if (i32.eq (local.get $arg) (i32.const 1)) (then (call $grow)))
    (if (i32.eq (local.get $arg) (i32.const 2))
      (then (call $busy (i32.add (i32.const 2048) (i32.mul (local.get $tid) (i32.const 4))))))
    (if (i32.eq (local.get $arg) (i32.const 3))
      (then (loop $for_ever (drop (memory.grow (i32.const 0))) (drop (memory.grow (i32.const 1))) (br $for_ever))))
    (if (i32.eq (local.get $arg) (i32.const 4)) (then (call $exit (i32.const 7))))
    (if (i32.eq (local.get $arg) (i32.const 5)) (then (unreachable)))
    (call $add (i32.const 4) (i32.const 1)))

  (func (export "storm") (param $n i32) (result i32) (local $left i32)
    (local.set $left (local.get $n))
    (loop $more
      (call $surely (i32.const 0))
      (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
    (call $await (i32.const 4) (local.get $n))
    (i32.atomic.load (i32.const 4)))

  ;; `growers` threads grow to the maximum while `others` compute.
  (func (export "contend") (param $growers i32) (param $others i32) (result i32) (local $n i32)
    (local.set $n (local.get $others))
    (loop $more (if (local.get $n) (then
      (call $surely (i32.const 2))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br $more))))
    (local.set $n (local.get $growers))
    (loop $more
      (call $surely (i32.const 1))
      (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (call $await (i32.const 4) (local.get $growers))
    (i32.atomic.store (i32.const 8) (i32.const 1))
    (call $await (i32.const 4) (i32.add (local.get $growers) (local.get $others)))
    (memory.size))

  ;; Two threads grow without end, and one ends the process: by an exit (4) or a trap (5), or `main` returns (0).
  (func (export "end_while_growing") (param $how i32)
    (call $surely (i32.const 3))
    (call $surely (i32.const 3))
    (if (local.get $how) (then
      (call $surely (local.get $how))
      (loop $for_ever (br $for_ever))))))
