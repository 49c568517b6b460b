// Command minio-admin provisions a MinIO server for one stack: the buckets, and two identities besides root.
//
//   - runtime: reads and writes the platform bucket, may only read the oracle bucket
//   - oracle writer: reads and writes the oracle bucket, nothing else
//
// The same holds for buckets named <bucket>-<anything>, which tests create and delete for themselves.
//
// Everything comes from the environment, so that no secret shows in a process list. Running it again changes nothing.
package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/minio/madmin-go/v3"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

const (
	deadline   = 30 * time.Second
	retryAfter = 100 * time.Millisecond
)

// The names that the policies grant access to.
var buckets = []string{"fraud-platform", "oracle-store"}

//go:embed policies/*.json
var policies embed.FS

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	if err := provisionWhenReady(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "minio-admin:", err)
		os.Exit(1)
	}
}

// provisionWhenReady tries again while the server answers that it is still initializing: its health check reports ready
// before its buckets and identities are.
func provisionWhenReady(ctx context.Context) error {
	for {
		err := provision(ctx)
		if err == nil || !isInitializing(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(retryAfter):
		}
	}
}

func isInitializing(err error) bool {
	var object minio.ErrorResponse
	var admin madmin.ErrorResponse
	code := ""
	if errors.As(err, &object) {
		code = object.Code
	} else if errors.As(err, &admin) {
		code = admin.Code
	}
	return code == "XMinioServerNotInitialized" || code == "XMinioIAMNotInitialized"
}

type identity struct {
	policy    string
	accessKey string
	secretKey string
}

func provision(ctx context.Context) error {
	env := environment{}
	endpoint := env.require("MINIO_ADMIN_ENDPOINT")
	rootUser := env.require("MINIO_ROOT_USER")
	rootPassword := env.require("MINIO_ROOT_PASSWORD")
	identities := []identity{
		{"platform-runtime", env.require("S3_ACCESS_KEY"), env.require("S3_SECRET_KEY")},
		{"oracle-writer", env.require("ORACLE_S3_ACCESS_KEY"), env.require("ORACLE_S3_SECRET_KEY")},
	}
	if env.missing != "" {
		return fmt.Errorf("environment variable %s is not set", env.missing)
	}

	objects, err := minio.New(endpoint, &minio.Options{Creds: credentials.NewStaticV4(rootUser, rootPassword, "")})
	if err != nil {
		return err
	}
	for _, bucket := range buckets {
		if err := ensureBucket(ctx, objects, bucket); err != nil {
			return fmt.Errorf("bucket %s: %w", bucket, err)
		}
	}

	admin, err := madmin.NewWithOptions(endpoint, &madmin.Options{Creds: credentials.NewStaticV4(rootUser, rootPassword, "")})
	if err != nil {
		return err
	}
	for _, id := range identities {
		if err := ensureIdentity(ctx, admin, id); err != nil {
			return fmt.Errorf("identity with policy %s: %w", id.policy, err)
		}
	}
	return nil
}

func ensureBucket(ctx context.Context, objects *minio.Client, bucket string) error {
	exists, err := objects.BucketExists(ctx, bucket)
	if err != nil || exists {
		return err
	}
	return objects.MakeBucket(ctx, bucket, minio.MakeBucketOptions{})
}

func ensureIdentity(ctx context.Context, admin *madmin.AdminClient, id identity) error {
	document, err := policies.ReadFile("policies/" + id.policy + ".json")
	if err != nil {
		return err
	}
	if err := admin.AddCannedPolicy(ctx, id.policy, document); err != nil {
		return err
	}
	if err := admin.AddUser(ctx, id.accessKey, id.secretKey); err != nil {
		return err
	}
	_, err = admin.AttachPolicy(ctx, madmin.PolicyAssociationReq{Policies: []string{id.policy}, User: id.accessKey})
	if madmin.ToErrorResponse(err).Code == "XMinioAdminPolicyChangeAlreadyApplied" {
		return nil
	}
	return err
}

// environment remembers the first variable that was missing, so that callers check once.
type environment struct{ missing string }

func (e *environment) require(name string) string {
	value := os.Getenv(name)
	if value == "" && e.missing == "" {
		e.missing = name
	}
	return value
}
