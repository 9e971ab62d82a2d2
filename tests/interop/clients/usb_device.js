// Preloaded beside the other: stands in for the USB port of a person's computer, with one device on it in DFU mode. Its flash is
// the file FLASH; whatever the command line writes into it is there, and stays.
'use strict';
const fs = require('fs');
const Module = require('module');
const [id, type, flash] = (process.env.USB_DEVICE || '').split(' ');

const device = {
	id,
	_info: { type },
	isOpen: false,
	close: async () => {},
	readOverDfu: async ({ startAddr, size }) => fs.readFileSync(flash).subarray(startAddr, startAddr + size),
	writeOverDfu: async (data, { startAddr }) => {
		const bytes = fs.readFileSync(flash);
		data.copy(bytes, startAddr);
		fs.writeFileSync(flash, bytes);
	}
};
const port = {
	getOneUsbDevice: async () => device,
	executeWithUsbDevice: async ({ func }) => {
		await func(device);
	}
};
const load = Module._load;
Module._load = function (request, ...rest) {
	return id && request === './usb-util' ? port : load.call(this, request, ...rest);
};
