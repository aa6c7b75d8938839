// Command commserver is the server, its worker and the tools around it in one binary.
package main

import (
	"context"
	"os"

	"github.com/commserver/commserver/internal/cli"
)

func main() {
	os.Exit(cli.Run(context.Background(), os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.Environ()}))
}
