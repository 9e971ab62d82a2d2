// Preloaded into every client: connections to anything but this machine are refused, as behind a firewall.
'use strict';
const net = require('net');
const dns = require('dns');
const isLoopback = (host) => host === undefined || /^(localhost|127(\.\d+){3}|::1|::ffff:127(\.\d+){3})$/.test(host);
const refusal = (host) => Object.assign(new Error(`not this machine: ${host}`), { code: 'ECONNREFUSED' });

const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...args) {
	const first = Array.isArray(args[0]) ? args[0][0] : args[0];
	const options = typeof first === 'object' && first !== null ? first : { port: first, host: args[1] };
	if (options.path || isLoopback(options.host)) {
		return connect.apply(this, args);
	}
	process.nextTick(() => this.destroy(refusal(options.host)));
	return this;
};
const lookup = dns.lookup;
dns.lookup = function (host, options, callback) {
	if (isLoopback(host)) {
		return lookup.call(dns, host, options, callback);
	}
	const done = typeof options === 'function' ? options : callback;
	process.nextTick(() => done(refusal(host)));
};
