package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Records a transaction, and of transactions one of how many is aborted; records a turn without them, and the pause after either.
const (
	transactionRecords = 20
	abortedOneOf       = 4
	turnRecords        = 4
	turnPause          = 10 * time.Millisecond
)

// lossWriter is a writer of the loss test on franz-go. See ../loss/writers.py for its arguments and ../loss/ledger.py for what it writes.
type lossWriter struct {
	topic        string
	partitions   int
	options      []kgo.Opt
	client       *kgo.Client
	chance       *rand.Rand
	sent         int
	transactions int

	held sync.Mutex // Over the file: acknowledgements come from the client's own goroutines.
	file *bufio.Writer
}

func loss(arguments []string) {
	bootstrap, topic, mode := arguments[0], arguments[1], arguments[5]
	partitions, seconds, seed := number(arguments[2]), number(arguments[4]), number(arguments[6])
	file, err := os.Create(arguments[3])
	if err != nil {
		panic(err)
	}
	w := &lossWriter{topic: topic, partitions: partitions, chance: rand.New(rand.NewSource(int64(seed))), file: bufio.NewWriter(file)}
	w.options = []kgo.Opt{kgo.SeedBrokers(bootstrap), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(2 * time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond })}
	work := w.turn
	if mode == "transactional" {
		w.options = append(w.options, kgo.TransactionalID(topic), kgo.TransactionTimeout(30*time.Second))
		work = w.transaction
	}
	w.open()
	for end := time.Now().Add(time.Duration(seconds) * time.Second); time.Now().Before(end); time.Sleep(turnPause) {
		work()
	}
	if err := w.flush(); err != nil {
		fmt.Fprintln(os.Stderr, "not everything was answered:", err)
	}
	w.client.Close()
	w.held.Lock()
	defer w.held.Unlock()
	if err := w.file.Flush(); err != nil {
		panic(err)
	}
}

func number(text string) int {
	value, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return value
}

func (w *lossWriter) open() {
	client, err := kgo.NewClient(w.options...)
	if err != nil {
		panic(err)
	}
	w.client = client
}

// openAnew is for a client that can go on no more. What it still had fails as it is closed.
func (w *lossWriter) openAnew(trouble error) {
	w.note(map[string]any{"trouble": trouble.Error()})
	w.client.Close()
	w.open()
}

func (w *lossWriter) note(line map[string]any) {
	line["at"] = time.Now().UnixMilli()
	text, err := json.Marshal(line)
	if err != nil {
		panic(err) // Strings and numbers alone.
	}
	w.held.Lock()
	defer w.held.Unlock()
	_, _ = w.file.Write(append(text, '\n'))
	if _, is := line["ending"]; is {
		_ = w.file.Flush()
	}
}

func (w *lossWriter) flush() error {
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
	defer cancel()
	return w.client.Flush(ctx)
}

// send gives a record to the client; transaction is below 0 for one outside of transactions.
func (w *lossWriter) send(transaction int) {
	n, partition := w.sent, w.chance.Intn(w.partitions)
	w.sent++
	line := map[string]any{"sent": n, "partition": partition}
	if transaction >= 0 {
		line["transaction"] = transaction
	}
	w.note(line)
	record := &kgo.Record{Topic: w.topic, Partition: int32(partition), Value: []byte(fmt.Sprintf("%s/%d", w.topic, n))}
	w.client.Produce(context.Background(), record, func(record *kgo.Record, err error) {
		if err != nil {
			w.note(map[string]any{"failed": n, "error": err.Error()})
		} else {
			w.note(map[string]any{"acked": n, "partition": record.Partition, "offset": record.Offset})
		}
	})
}

func (w *lossWriter) turn() {
	for range turnRecords {
		w.send(-1)
	}
	w.held.Lock()
	defer w.held.Unlock()
	_ = w.file.Flush() // Whoever kills the broker aims by it, here and where a transaction is to end.
}

func (w *lossWriter) transaction() {
	transaction, wanted := w.transactions, "committed"
	w.transactions++
	if w.chance.Intn(abortedOneOf) == 0 {
		wanted = "aborted"
	}
	if err := w.client.BeginTransaction(); err != nil {
		w.openAnew(err)
		return
	}
	w.note(map[string]any{"begun": transaction})
	for range transactionRecords {
		w.send(transaction)
	}
	// What is committed has to be in the log by then: franz-go leaves it to its user. Half of what is aborted is there, and half on its way.
	if (wanted == "committed" || w.chance.Intn(2) == 0) && w.flush() != nil {
		wanted = "aborted"
	}
	w.note(map[string]any{"ending": transaction, "as": wanted})
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	var err error
	if wanted == "aborted" {
		if err = w.client.AbortBufferedRecords(ctx); err == nil {
			err = w.client.EndTransaction(ctx, kgo.TryAbort)
		}
	} else {
		err = w.client.EndTransaction(ctx, kgo.TryCommit)
	}
	outcome := wanted
	if err != nil {
		if wanted == "committed" {
			outcome = "unknown"
		}
		w.openAnew(err)
	}
	w.note(map[string]any{"ended": transaction, "as": outcome})
}
