// Clients of Kafka in Go, as ../run.py drives them: one line of JSON a fact.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime/debug"
	"time"

	"crypto/rand"
	"encoding/hex"
)

// Longest wait for anything that should come.
const patience = 30 * time.Second

// errRefused marks what the client or the broker said plainly is not to be had.
var errRefused = errors.New("refused")

// teller shows the facts of one client.
type teller struct{ client, version string }

// show does the work and prints how it went.
func (t teller) show(fact string, work func() error) {
	began := time.Now()
	result, detail := "passed", ""
	done := make(chan error, 1)
	go func() { done <- work() }()
	var err error
	select {
	case err = <-done:
	case <-time.After(2 * patience):
		err = fmt.Errorf("not done within %v", 2*patience)
	}
	if err != nil {
		result, detail = "failed", err.Error()
		if errors.Is(err, errRefused) {
			result = "refused"
		}
	}
	if len(detail) > 500 {
		detail = detail[:500]
	}
	line, err := json.Marshal(map[string]any{
		"client": t.client, "version": t.version, "fact": fact, "result": result, "detail": detail,
		"seconds": float64(time.Since(began).Milliseconds()) / 1000,
	})
	if err != nil {
		panic(err) // Strings and numbers alone.
	}
	fmt.Println(string(line))
}

// unique is a name that no other run has.
func unique(name string) string {
	var bytes [6]byte
	_, _ = rand.Read(bytes[:])
	return name + "-" + hex.EncodeToString(bytes[:])
}

// until returns when the condition holds.
func until(what string, condition func() (bool, error)) error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if held, err := condition(); held || err != nil {
			return err
		}
	}
	return fmt.Errorf("no %s within %v", what, patience)
}

func same(got, wanted any) error {
	if reflect.DeepEqual(got, wanted) {
		return nil
	}
	return fmt.Errorf("got %v, wanted %v", got, wanted)
}

func words(count int, word string) []string {
	made := make([]string, count)
	for n := range made {
		made[n] = fmt.Sprintf("%s%d", word, n)
	}
	return made
}

// versionOf is the version of a module as it was built in.
func versionOf(module string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dependency := range info.Deps {
			if dependency.Path == module {
				return dependency.Version[1:]
			}
		}
	}
	return "unknown"
}

func main() {
	clients := map[string]func(string){"franz-go": franz, "sarama": saramaClient}
	if len(os.Args) == 3 {
		if run, known := clients[os.Args[1]]; known {
			run(os.Args[2])
			return
		}
	}
	if len(os.Args) == 9 && os.Args[1] == "loss" {
		loss(os.Args[2:])
		return
	}
	fmt.Fprintln(os.Stderr, "usage: clients franz-go|sarama BOOTSTRAP, or clients loss and what ../loss/writers.py says")
	os.Exit(2)
}
