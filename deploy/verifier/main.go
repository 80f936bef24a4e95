// Log-verifier checks a log of the hub with code nobody of the hub wrote: the Merkle trees and
// signed notes of Go's checksum database.
//
//	log-verifier log KEY FOLDER [OLDER]...   a folder of tlog-tiles under its checkpoint, and that
//	                                         it extends each older checkpoint, given as a file
//	log-verifier proofs < LINES              proofs as JSON, one a line; says true or false for each
//
// It exits with 1 where a log does not verify and with 2 where it was asked nonsense.
package main

import (
	"fmt"
	"os"
)

func main() {
	arguments := os.Args[1:]
	var err error
	switch {
	case len(arguments) >= 3 && arguments[0] == "log":
		err = verifyLog(arguments[1], arguments[2], arguments[3:])
	case len(arguments) == 1 && arguments[0] == "proofs":
		err = verifyProofs(os.Stdin, os.Stdout)
	default:
		fmt.Fprintln(os.Stderr, "usage: log-verifier log KEY FOLDER [OLDER]... | log-verifier proofs")
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "log-verifier:", err)
		os.Exit(1)
	}
}
