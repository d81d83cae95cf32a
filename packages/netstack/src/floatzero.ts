// V8 gives an object another hidden class, and throws away all compiled code that knew the last one, when a field that
// held only small integers gets another number. So what may be a fraction or 2^31 and more (times, sequence numbers,
// estimates) begins as a floating-point number.

/** Zero, but no small integer. */
export const FLOAT_ZERO: number = -0;
