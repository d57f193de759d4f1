// What an array really is, whatever its own properties, its class or a Proxy say: asked of the language's own getters. None of
// it runs code of whoever made the array, so that it may be asked while a lock is held.

const typedArray = Object.getPrototypeOf(Uint8Array.prototype) as object;

/** The getter of a property as a function; undefined where the object has none. */
function getterOf<Owner, Value>(owner: object, name: string | symbol): (of: Owner) => Value {
  const get = Object.getOwnPropertyDescriptor(owner, name)?.get;
  if (get === undefined) throw new Error(`no getter for ${String(name)}`);
  // eslint-disable-next-line @typescript-eslint/unbound-method -- bound to whatever is asked
  return Function.prototype.call.bind(get) as (of: Owner) => Value;
}

/** Bytes of an array; 0 once it was detached or its memory has shrunk. TypeError for a Proxy. */
export const lengthOf = getterOf<Uint8Array, number>(typedArray, 'length');
export const bufferOf = getterOf<Uint8Array, ArrayBufferLike>(typedArray, 'buffer');
export const offsetOf = getterOf<Uint8Array, number>(typedArray, 'byteOffset');

/** 'Uint8Array' for a Buffer too; undefined for what is no typed array, a Proxy of one for example. */
const kindOf = getterOf<unknown, string | undefined>(typedArray, Symbol.toStringTag);

const isResizable = getterOf<ArrayBufferLike, boolean>(ArrayBuffer.prototype, 'resizable');
const isGrowable = getterOf<ArrayBufferLike, boolean>(SharedArrayBuffer.prototype, 'growable');

/** `target.set(source, at)`. */
export const setBytes = Function.prototype.call.bind(
  Object.getOwnPropertyDescriptor(typedArray, 'set')?.value as (...values: never) => void,
) as (target: Uint8Array, source: Uint8Array, at: number) => void;

export const isBytes = (value: unknown): value is Uint8Array => kindOf(value) === 'Uint8Array';

/** The same bytes, as an array that does not grow with its memory; another thread may let it grow at any moment. */
export function fixed(array: Uint8Array): Uint8Array {
  const buffer = bufferOf(array);
  return isFixed(buffer) ? array : new Uint8Array(buffer, offsetOf(array), lengthOf(array));
}

function isFixed(buffer: ArrayBufferLike): boolean {
  try {
    return !(buffer instanceof SharedArrayBuffer ? isGrowable(buffer) : isResizable(buffer));
  } catch {
    // Of another realm, or it says that it is something else.
    return false;
  }
}
