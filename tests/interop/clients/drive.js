// particle-api-js on a leash: `node drive.js URL`, then a line of JSON for each call on stdin.
//   {"call": "getDevice", "args": {...}}           -> {"body": ..., "status": 200} (bytes: base64) or {"error": {"status", "body", "message"}}
//   {"file": "path", "call": ..., "as": "file"}     puts the bytes of a file into args.file, or into args.files
//   {"stream": {...}}                              -> {"open": true}, then {"event": {...}} for each
'use strict';
const fs = require('fs');
const readline = require('readline');
const Particle = require('particle-api-js');

const particle = new Particle({ baseUrl: process.argv[2] });
const say = (line) => process.stdout.write(JSON.stringify(line) + '\n');

async function stream(options) {
	const events = await particle.getEventStream(options);
	events.on('event', (event) => say({ event }));
	events.on('error', (error) => say({ streamError: String(error.message || error) }));
	events.on('disconnect', () => say({ disconnected: true }));
	say({ open: true });
}

async function call(line) {
	const args = line.args;
	if (line.file) {
		const bytes = fs.readFileSync(line.file);
		if (line.as === 'files') {
			args.files = { [line.name || 'firmware.bin']: bytes };
		} else {
			args.file = bytes;
		}
	}
	const answer = await particle[line.call](args);
	if (Buffer.isBuffer(answer)) {
		say({ body: answer.toString('base64') });
	} else {
		say({ body: answer.body, status: answer.statusCode });
	}
}

readline.createInterface({ input: process.stdin }).on('line', (text) => {
	const line = JSON.parse(text);
	(line.stream ? stream(line.stream) : call(line)).catch((error) => say({
		error: { status: error.statusCode, body: error.body, message: error.errorDescription || error.message }
	}));
}).on('close', () => process.exit(0));
