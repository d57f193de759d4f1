// What an array really is, whatever its own properties, its class or a Proxy say: asked of the language's own getters. None of
// it runs code of whoever made the array, so that it may be asked while a lock is held.

const typedArray = Object.getPrototypeOf(Uint8Array.prototype) as object;

/** The getter of a property, as a function of whatever is asked. */
function getterOf(owner: object, name: string | symbol): unknown {
  const property = Object.getOwnPropertyDescriptor(owner, name) as { get: () => unknown };
  return Function.prototype.call.bind(property.get);
}

/** Bytes of an array; 0 once it was detached or its memory has shrunk. TypeError for a Proxy. */
export const lengthOf = getterOf(typedArray, 'length') as (of: Uint8Array) => number;
export const bufferOf = getterOf(typedArray, 'buffer') as (of: Uint8Array) => ArrayBufferLike;
export const offsetOf = getterOf(typedArray, 'byteOffset') as (of: Uint8Array) => number;

/** 'Uint8Array' for a Buffer too; undefined for what is no typed array, a Proxy of one for example. */
const kindOf = getterOf(typedArray, Symbol.toStringTag) as (of: unknown) => string | undefined;

type Question = (of: ArrayBufferLike) => boolean;
const isResizable = getterOf(ArrayBuffer.prototype, 'resizable') as Question;
const isGrowable = getterOf(SharedArrayBuffer.prototype, 'growable') as Question;

/** `target.set(source, at)`. */
export const setBytes = Function.prototype.call.bind(
  Object.getOwnPropertyDescriptor(typedArray, 'set')?.value as (...values: never) => void,
) as (target: Uint8Array, source: Uint8Array, at: number) => void;

export const isBytes = (value: unknown): value is Uint8Array => kindOf(value) === 'Uint8Array';

/** Whether a buffer never grows or shrinks; another thread may let it grow at any moment. */
export function isFixed(buffer: ArrayBufferLike): boolean {
  try {
    return !(buffer instanceof SharedArrayBuffer ? isGrowable(buffer) : isResizable(buffer));
  } catch {
    // Of another realm, or it says that it is something else.
    return false;
  }
}
