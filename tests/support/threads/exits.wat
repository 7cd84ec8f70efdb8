;; One thread gets into a state that it would never leave; another one then ends in some way.
(module
  (import "env" "memory" (memory 1 4 shared))
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "h" "block" (func $block))
  (export "memory" (memory 0))

  (func $stay (param $state i32)
    (i32.atomic.store (i32.const 64) (i32.const 1))
    (drop (memory.atomic.notify (i32.const 64) (i32.const -1)))
    (block $host (block $read (block $poll (block $wait (block $busy
      (br_table $busy $wait $poll $read $host (local.get $state)))
      (loop $l (br $l)))
      (drop (memory.atomic.wait32 (i32.const 68) (i32.const 0) (i64.const -1))) (return))
      ;; a clock, the monotonic one, in about 146 years
      (i32.store (i32.const 528) (i32.const 1))
      (i64.store (i32.const 536) (i64.const 0x4000000000000000))
      (drop (call $poll (i32.const 512) (i32.const 640) (i32.const 1) (i32.const 700))) (return))
      (i32.store (i32.const 256) (i32.const 300))
      (i32.store (i32.const 260) (i32.const 8))
      (drop (call $fd_read (i32.const 0) (i32.const 256) (i32.const 1) (i32.const 268))) (return))
    (call $block))

  (func $end (param $how i32)
    (drop (memory.atomic.wait32 (i32.const 64) (i32.const 0) (i64.const -1)))
    (if (i32.eq (local.get $how) (i32.const 0)) (then (call $exit (i32.const 3))))
    (if (i32.eq (local.get $how) (i32.const 1)) (then (unreachable))))

  (func (export "wasi_thread_start") (param $tid i32) (param $arg i32)
    (if (i32.lt_u (local.get $arg) (i32.const 100))
      (then (call $stay (local.get $arg)))
      (else (call $end (i32.sub (local.get $arg) (i32.const 100))))))

  (func (export "main") (param $state i32) (param $how i32)
    (drop (call $spawn (i32.add (local.get $how) (i32.const 100))))
    (call $stay (local.get $state)))
  (func (export "other") (param $state i32) (param $how i32)
    (drop (call $spawn (local.get $state)))
    (call $end (local.get $how)))

  ;; Ends the process by code 1 and code 2 from two threads at once.
  (func (export "race")
    (drop (call $spawn (i32.const 100)))
    (i32.atomic.store (i32.const 64) (i32.const 1))
    (drop (memory.atomic.notify (i32.const 64) (i32.const -1)))
    (call $exit (i32.const 2))))
