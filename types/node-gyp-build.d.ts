declare module 'node-gyp-build' {
  /** Loads the addon that is built in, or comes prebuilt with, the package in `folder`. */
  function load(folder: string): unknown;
  export = load;
}
