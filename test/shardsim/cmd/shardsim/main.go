// Command shardsim replays one seed of the simulation and prints its timeline.
//
//	go run ./test/shardsim/cmd/shardsim -seed 17 -variant NoRecover
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/commserver/commserver/test/shardsim"
)

func main() {
	seed := flag.Uint64("seed", 1, "seed of the run")
	name := flag.String("variant", "", "field of shardsim.Variant to switch on; empty is the protocol itself")
	flag.Parse()
	v, ok := shardsim.ParseVariant(*name)
	if !ok {
		fmt.Fprintln(os.Stderr, "no such variant:", *name)
		os.Exit(2)
	}
	r := shardsim.Run(*seed, v, true)
	fmt.Println(r.Timeline)
	fmt.Printf("accepted %d, starts %d, copies %d, extra %d, unknown %d, take-overs %d, violations %d\n",
		r.Accepted, r.Starts, r.Copies, r.Extra, r.Unknown, r.Takeovers, len(r.Violations))
	if len(r.Violations) > 0 {
		os.Exit(1)
	}
}
