// Package sdk is the clients as they lie in this folder, one file each, for the program that
// hands them out at /docs/files. It holds no code besides.
package sdk

import "embed"

//go:embed comms-client.ts comms_client.py CommsClient.php README.md
var files embed.FS

// Files is every client that is one file, and what is to be read about them.
func Files() embed.FS { return files }
