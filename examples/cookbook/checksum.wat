;; The checksum of the first n bytes of its 4 MiB, of which a few aren't 0. A larger guest would do for a larger n.
(module
  (import "lib" "checksum" (func $checksum (param i32 i32) (result i32)))
  (memory (export "memory") 64)
  (data (i32.const 65000) "There is more than one page of this, and the words lie across the border of two pieces.")

  (func (export "check") (param $n i32) (result i32)
    (call $checksum (i32.const 0) (local.get $n))))
