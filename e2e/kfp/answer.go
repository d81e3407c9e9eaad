package kfp

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// code is one of gRPC's.
type code int

const (
	invalidArgument  code = 3
	notFound         code = 5
	alreadyExists    code = 6
	permissionDenied code = 7
	internal         code = 13
	unauthenticated  code = 16
)

var statuses = map[code]int{
	invalidArgument: http.StatusBadRequest, notFound: http.StatusNotFound, alreadyExists: http.StatusConflict,
	permissionDenied: http.StatusForbidden, internal: http.StatusInternalServerError, unauthenticated: http.StatusUnauthorized,
}

// failure is an error as clients see it: message is the whole chain, external its last link.
type failure struct {
	code     code
	message  string
	external string
}

func (f *failure) Error() string { return f.message }

func fail(c code, format string, arguments ...any) error {
	text := fmt.Sprintf(format, arguments...)
	kind := map[code]string{invalidArgument: "Invalid input error: ", notFound: "ResourceNotFoundError: ", alreadyExists: "Already exist error: ",
		permissionDenied: "PermissionDenied: ", unauthenticated: "Unauthenticated: "}[c]
	return &failure{c, kind + text, text}
}

// wrap puts a link before the chain, and leaves the code as it is.
func wrap(err error, text string) error {
	f, ok := errors.AsType[*failure](err)
	if !ok {
		return err
	}
	return &failure{f.code, text + ": " + f.message, f.external}
}

// hide makes an error an internal one, as Kubeflow Pipelines does it where it should not.
func hide(err error, text string) error {
	return &failure{internal, "InternalServerError: " + text + ": " + err.Error(), "Internal Server Error"}
}

// refuse answers as grpc-gateway does.
func refuse(w http.ResponseWriter, err error) {
	f, ok := errors.AsType[*failure](err)
	if !ok {
		f = &failure{internal, err.Error(), "Internal Server Error"}
	}
	reply(w, statuses[f.code], map[string]any{
		"error": f.message, "code": f.code, "message": f.message,
		"details": []any{map[string]any{"@type": "type.googleapis.com/google.rpc.Status", "code": f.code, "message": f.external}},
	})
}

// refuseUpload answers as the handlers do that are not gRPC's.
func refuseUpload(w http.ResponseWriter, status int, message string) {
	reply(w, status, map[string]any{"error_message": message, "error_details": message})
}

func reply(w http.ResponseWriter, status int, message any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(message) // the client may have gone
}

// encode is a message as it is sent.
func encode(message any) json.RawMessage {
	data, err := json.Marshal(message)
	if err != nil {
		panic(err) // no message has what JSON cannot say
	}
	return data
}

// read reads a body, in which nothing may be that is not known.
func read(r *http.Request, into any) error {
	decoder := json.NewDecoder(io.LimitReader(r.Body, 32<<20))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fail(invalidArgument, "proto: %v", err)
	}
	return nil
}

// stamp is a time as it is stored: in whole seconds, and none is 1970.
type stamp int64

func (t stamp) MarshalJSON() ([]byte, error) {
	return json.Marshal(time.Unix(int64(t), 0).UTC().Format(time.RFC3339))
}

func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
