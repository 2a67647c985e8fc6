// Prints each frame's final answer as a line of JSON: the first record of the frame in its partition counts.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/hamba/avro/v2"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
)

type classifications struct {
	DeviceID string `avro:"deviceId"`
	BootID   int64  `avro:"bootId"`
	Answers  []struct {
		CameraID  string `avro:"cameraId"`
		FrameSeq  int64  `avro:"frameSeq"`
		Label     string `avro:"label"`
		Source    string `avro:"source"`
		SettledBy string `avro:"settledBy"`
	} `avro:"answers"`
}

type line struct {
	Frame     string `json:"frame"`
	Label     string `json:"label"`
	Source    string `json:"source"`
	SettledBy string `json:"settledBy"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	options := []sr.ClientOpt{sr.URLs(env("REGISTRY", "http://127.0.0.1:8080"))}
	if token := os.Getenv("TRIBUTARY_TOKEN"); token != "" {
		options = append(options, sr.BearerToken(token))
	}
	registry := must(sr.NewClient(options...))
	client := must(kgo.NewClient(
		kgo.SeedBrokers(strings.Split(env("BROKERS", "127.0.0.1:9092"), ",")...),
		kgo.ConsumerGroup(env("GROUP", "answers-go")),
		kgo.ConsumeTopics(env("TOPIC_PREFIX", "tributary.")+"classifications.v1"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(),
	))
	defer client.Close()

	schemas := map[int]avro.Schema{}
	final := map[string]bool{} // In your program: a table whose primary key is the frame; keep what is there.
	out := json.NewEncoder(os.Stdout)
	for {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return
		}
		fetches.EachError(func(topic string, partition int32, err error) { log.Fatalln(topic, partition, err) })
		fetches.EachRecord(func(record *kgo.Record) {
			var header sr.ConfluentHeader
			id, payload, err := header.DecodeID(record.Value)
			check(err)
			if schemas[id] == nil { // The schema that wrote it, by the id in its first five bytes.
				schemas[id] = must(avro.Parse(must(registry.SchemaByID(context.WithoutCancel(ctx), id)).Schema))
			}
			var batch classifications
			check(avro.Unmarshal(schemas[id], payload, &batch))
			for _, a := range batch.Answers {
				frame := fmt.Sprintf("%s:%d:%s:%d", batch.DeviceID, batch.BootID, a.CameraID, a.FrameSeq)
				if !final[frame] { // Otherwise a repeat.
					final[frame] = true
					check(out.Encode(line{frame, a.Label, a.Source, a.SettledBy}))
				}
			}
		})
		check(client.CommitUncommittedOffsets(context.WithoutCancel(ctx))) // Only after the answers are stored.
	}
}

func env(name, otherwise string) string { return cmp.Or(os.Getenv(name), otherwise) }

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		log.Fatalln(err)
	}
}
