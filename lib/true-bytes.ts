// What a view of memory really is, whatever its own properties, its class or a Proxy say: asked of the language's own getters. None of
// it runs code of whoever made the view, so that it may be asked while a lock is held.

const typedArray = Object.getPrototypeOf(Uint8Array.prototype) as object;

/** A getter or a method of the language, as a function of what it is called on. */
function uncurried(owner: object, name: string | symbol): unknown {
  const property = Object.getOwnPropertyDescriptor(owner, name) as {
    get?: () => unknown;
    value: () => unknown;
  };
  return Function.prototype.call.bind(property.get ?? property.value);
}

/** Elements of a TypedArray; 0 once it was detached or its memory has shrunk. TypeError for a Proxy. */
export const lengthOf = uncurried(typedArray, 'length') as (of: Uint8Array) => number;
/** Bytes of it, in the same way. */
export const byteLengthOf = uncurried(typedArray, 'byteLength') as (of: ArrayBufferView) => number;
export const bufferOf = uncurried(typedArray, 'buffer') as (of: ArrayBufferView) => ArrayBufferLike;
export const offsetOf = uncurried(typedArray, 'byteOffset') as (of: ArrayBufferView) => number;

/** What kind of TypedArray it is, of whatever realm: 'Uint8Array' for a Buffer too; undefined for anything else. */
export const kindOf = uncurried(typedArray, Symbol.toStringTag) as (
  of: unknown,
) => string | undefined;

const indexOf = uncurried(typedArray, 'indexOf') as (of: ArrayBufferView) => number;

/** The same of a DataView. TypeError once it was detached or its memory has shrunk. */
const dataLengthOf = uncurried(DataView.prototype, 'byteLength') as (of: unknown) => number;
const dataBufferOf = uncurried(DataView.prototype, 'buffer') as (of: unknown) => ArrayBufferLike;
const dataOffsetOf = uncurried(DataView.prototype, 'byteOffset') as (of: unknown) => number;

type Size = (of: ArrayBufferLike) => number;
const sizeOf = uncurried(ArrayBuffer.prototype, 'byteLength') as Size;
const sharedSizeOf = uncurried(SharedArrayBuffer.prototype, 'byteLength') as Size;

type Question = (of: ArrayBufferLike) => boolean;
const isResizable = uncurried(ArrayBuffer.prototype, 'resizable') as Question;
const isGrowable = uncurried(SharedArrayBuffer.prototype, 'growable') as Question;

/** `target.set(source, at)`. */
export const setBytes = uncurried(typedArray, 'set') as (
  target: Uint8Array,
  source: Uint8Array,
  at: number,
) => void;

export const isBytes = (value: unknown): value is Uint8Array => kindOf(value) === 'Uint8Array';

/** The bytes of a view, not copied: itself, if it is of bytes. TypeError where its memory has gone. */
export function bytesBelow(view: ArrayBufferView): Uint8Array {
  if (kindOf(view) === undefined) {
    const length = dataLengthOf(view);
    return new Uint8Array(dataBufferOf(view), dataOffsetOf(view), length);
  }
  const length = byteLengthOf(view);
  // What has lost its memory is as empty as what never had any, until one asks it to do something.
  if (length === 0) indexOf(view);
  return isBytes(view) ? view : new Uint8Array(bufferOf(view), offsetOf(view), length);
}

/** Bytes of a buffer that never grows or shrinks; undefined for one that may, in another thread at any moment. */
export function fixedSizeOf(buffer: ArrayBufferLike): number | undefined {
  try {
    if (buffer instanceof SharedArrayBuffer) {
      return isGrowable(buffer) ? undefined : sharedSizeOf(buffer);
    }
    return isResizable(buffer) ? undefined : sizeOf(buffer);
  } catch {
    // Of another realm, or it says that it is something else.
    return undefined;
  }
}
