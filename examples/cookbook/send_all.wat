;; Sends the first n bytes of its memory.
(module
  (import "net" "send_all" (func $send_all (param i32 i32 i32) (result i32)))
  (memory (export "memory") 16)
  (data (i32.const 0) "What is sent is neither lost nor doubled, however often it stops in the middle. ")

  (func (export "send") (param $fd i32) (param $n i32) (result i32)
    (call $send_all (local.get $fd) (i32.const 0) (local.get $n))))
