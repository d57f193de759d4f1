require('memmap');
