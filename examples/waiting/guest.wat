;; Each export waits for one thing, by a host function.
(module
  (import "world" "nap" (func $nap (param i32) (result i32)))
  (import "world" "receive" (func $receive (param i32) (result i32)))
  (import "world" "take" (func $take (result i32)))
  (import "world" "fetch" (func $fetch (param i32) (result i32)))
  (func (export "nap") (param i32) (result i32) (call $nap (local.get 0)))
  (func (export "receive") (param i32) (result i32) (call $receive (local.get 0)))
  (func (export "take") (result i32) (call $take))
  (func (export "fetch") (param i32) (result i32) (call $fetch (local.get 0)))
  ;; Computes, so that the others are seen not to be in its way.
  (func (export "work") (param i32) (result i32) (local i32)
    (loop
      (local.set 1 (i32.add (local.get 1) (i32.const 1)))
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get 1)))
