// A client of grpc-go, made from the .proto files: every call of an endpoint that a fake or a proxy
// serves, and what grpc-go brings with it: health, reflection, deadlines, compression.
//
//	fake-dfdaemon run -- tests/go/client [DIRECTORY]
//
// tests/go/run.sh builds it.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip"
	health "google.golang.org/grpc/health/grpc_health_v1"
	reflection "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	common "dfcache.test/common"
	dfdaemon "dfcache.test/dfdaemon"
)

const piece = 4 << 20

func check(isTrue bool, said ...interface{}) {
	if !isTrue {
		panic(fmt.Sprint(said...))
	}
}

func checked(err error) { check(err == nil, err) }

func checkStatus(err error, code codes.Code, text string) {
	told := status.Convert(err)
	check(told.Code() == code && strings.Contains(told.Message(), text), told)
}

// Bytes that are no file's, and always the same.
func content() []byte {
	var bytes []byte
	for sum := sha256.Sum256([]byte("grpc-go")); len(bytes) < 2*piece+7; sum = sha256.Sum256(sum[:]) {
		bytes = append(bytes, sum[:]...)
	}
	return bytes[:2*piece+7]
}

func exported(client dfdaemon.DfdaemonDownloadClient, request *dfdaemon.DownloadPersistentCacheTaskRequest) ([]*dfdaemon.DownloadPersistentCacheTaskResponse, error) {
	ctx, cancel := within()
	defer cancel()
	stream, err := client.DownloadPersistentCacheTask(ctx, request)
	checked(err)
	var messages []*dfdaemon.DownloadPersistentCacheTaskResponse
	for {
		message, err := stream.Recv()
		if err == io.EOF {
			return messages, nil
		}
		if err != nil {
			return nil, err
		}
		messages = append(messages, message)
	}
}

func within() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 30*time.Second)
}

func main() {
	endpoint := os.Getenv("DFCACHE_ENDPOINT")
	dir := ""
	if len(os.Args) > 1 {
		dir = os.Args[1]
	} else {
		made, err := os.MkdirTemp("", "grpc-go-")
		checked(err)
		defer os.RemoveAll(made)
		dir = made
	}
	connection, err := grpc.Dial("unix:"+endpoint, grpc.WithInsecure(), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	checked(err)
	defer connection.Close()
	calls(dfdaemon.NewDfdaemonDownloadClient(connection), dir)
	manners(connection)
	fmt.Printf("grpc-go at %s: imported, stated, transferred, exported by path and listed\n", filepath.Base(endpoint))
}

func calls(client dfdaemon.DfdaemonDownloadClient, dir string) {
	ctx, cancel := within()
	defer cancel()
	source, output, tag := filepath.Join(dir, "source"), filepath.Join(dir, "output"), "go"
	expected := content()
	checked(os.WriteFile(source, expected, 0o644))

	upload := &dfdaemon.UploadPersistentCacheTaskRequest{Path: source, PersistentReplicaCount: 1, Ttl: durationpb.New(time.Hour), Tag: &tag}
	task, err := client.UploadPersistentCacheTask(ctx, upload)
	checked(err)
	check(task.State == "Succeeded" && task.ContentLength == uint64(len(expected)) && task.PieceCount == 3, task)
	_, err = client.UploadPersistentCacheTask(ctx, upload)
	checkStatus(err, codes.Internal, "is Succeeded cannot upload")

	stated, err := client.StatPersistentCacheTask(ctx, &dfdaemon.StatPersistentCacheTaskRequest{TaskId: task.Id})
	checked(err)
	check(stated.Id == task.Id && stated.GetTag() == tag, stated)
	_, err = client.StatPersistentCacheTask(ctx, &dfdaemon.StatPersistentCacheTaskRequest{TaskId: "404"})
	checkStatus(err, codes.Internal, "persistent cache task 404 not found")

	messages, err := exported(client, &dfdaemon.DownloadPersistentCacheTaskRequest{TaskId: task.Id, NeedPieceContent: true})
	checked(err)
	started := messages[0].GetDownloadPersistentCacheTaskStartedResponse()
	check(started.GetContentLength() == uint64(len(expected)), started)
	var pieces []*common.Piece
	for _, message := range messages[1:] {
		pieces = append(pieces, message.GetDownloadPieceFinishedResponse().GetPiece())
	}
	sort.Slice(pieces, func(a, b int) bool { return pieces[a].Number < pieces[b].Number })
	var got []byte
	for _, piece := range pieces {
		got = append(got, piece.Content...)
	}
	check(bytes.Equal(got, expected), "another content")

	_, err = exported(client, &dfdaemon.DownloadPersistentCacheTaskRequest{TaskId: task.Id, OutputPath: &output})
	checked(err)
	written, err := os.ReadFile(output)
	checked(err)
	check(bytes.Equal(written, expected), "another file")
	_, err = exported(client, &dfdaemon.DownloadPersistentCacheTaskRequest{TaskId: "404", OutputPath: &output})
	checkStatus(err, codes.Internal, "persistent cache task 404 not found")

	listed, err := client.ListLocalPersistentCacheTasks(ctx, &dfdaemon.ListLocalPersistentCacheTasksRequest{})
	checked(err)
	isThere := false
	for _, local := range listed.Tasks {
		isThere = isThere || local.TaskId == task.Id
	}
	check(isThere, listed)
}

// What every call of grpc-go may bring.
func manners(connection *grpc.ClientConn) {
	ctx, cancel := within()
	defer cancel()
	service := "dfdaemon.v2.DfdaemonDownload"
	answer, err := health.NewHealthClient(connection).Check(ctx, &health.HealthCheckRequest{Service: service})
	checked(err)
	check(answer.Status == health.HealthCheckResponse_SERVING, answer)

	stream, err := reflection.NewServerReflectionClient(connection).ServerReflectionInfo(ctx)
	checked(err)
	list := &reflection.ServerReflectionRequest_ListServices{ListServices: "*"}
	checked(stream.Send(&reflection.ServerReflectionRequest{MessageRequest: list}))
	reflected, err := stream.Recv()
	checked(err)
	check(strings.Contains(reflected.String(), service), reflected)
	checked(stream.CloseSend())
	_, err = stream.Recv()
	check(err == io.EOF, err)

	client := dfdaemon.NewDfdaemonDownloadClient(connection)
	question := &dfdaemon.StatPersistentCacheTaskRequest{TaskId: "404"}
	_, err = client.StatPersistentCacheTask(ctx, question, grpc.UseCompressor("gzip"))
	checkStatus(err, codes.Unimplemented, "gzip")
}
