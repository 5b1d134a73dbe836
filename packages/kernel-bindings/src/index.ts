// The public face of the kernel bindings.
export {};
