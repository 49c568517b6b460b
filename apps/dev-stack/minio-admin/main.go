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
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/minio/madmin-go/v3"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

const deadline = 30 * time.Second

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	if err := provision(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "minio-admin:", err)
		os.Exit(1)
	}
}

type identity struct {
	policyName string
	accessKey  string
	secretKey  string
	policy     policy
}

func provision(ctx context.Context) error {
	env := environment{}
	endpoint := env.require("MINIO_ADMIN_ENDPOINT")
	rootUser := env.require("MINIO_ROOT_USER")
	rootPassword := env.require("MINIO_ROOT_PASSWORD")
	platform := env.require("PLATFORM_BUCKET")
	oracle := env.require("ORACLE_BUCKET")
	identities := []identity{
		{
			policyName: "platform-runtime",
			accessKey:  env.require("S3_ACCESS_KEY"),
			secretKey:  env.require("S3_SECRET_KEY"),
			policy:     newPolicy(readWrite(platform), readOnly(oracle)),
		},
		{
			policyName: "oracle-writer",
			accessKey:  env.require("ORACLE_S3_ACCESS_KEY"),
			secretKey:  env.require("ORACLE_S3_SECRET_KEY"),
			policy:     newPolicy(readWrite(oracle)),
		},
	}
	if env.missing != "" {
		return fmt.Errorf("environment variable %s is not set", env.missing)
	}

	objects, err := minio.New(endpoint, &minio.Options{Creds: credentials.NewStaticV4(rootUser, rootPassword, "")})
	if err != nil {
		return err
	}
	for _, bucket := range []string{platform, oracle} {
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
			return fmt.Errorf("identity with policy %s: %w", id.policyName, err)
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
	document, err := json.Marshal(id.policy)
	if err != nil {
		return err
	}
	if err := admin.AddCannedPolicy(ctx, id.policyName, document); err != nil {
		return err
	}
	if err := admin.AddUser(ctx, id.accessKey, id.secretKey); err != nil {
		return err
	}
	_, err = admin.AttachPolicy(ctx, madmin.PolicyAssociationReq{Policies: []string{id.policyName}, User: id.accessKey})
	if madmin.ToErrorResponse(err).Code == "XMinioAdminPolicyChangeAlreadyApplied" {
		return nil
	}
	return err
}

type policy struct {
	Version   string      `json:"Version"`
	Statement []statement `json:"Statement"`
}

type statement struct {
	Effect   string   `json:"Effect"`
	Action   []string `json:"Action"`
	Resource []string `json:"Resource"`
}

func newPolicy(groups ...[]statement) policy {
	document := policy{Version: "2012-10-17"}
	for _, group := range groups {
		document.Statement = append(document.Statement, group...)
	}
	return document
}

func readOnly(bucket string) []statement {
	return []statement{
		{"Allow", []string{"s3:GetBucketLocation", "s3:ListBucket"}, bucketResources(bucket)},
		{"Allow", []string{"s3:GetObject"}, objectResources(bucket)},
	}
}

func readWrite(bucket string) []statement {
	return []statement{
		{"Allow", []string{"s3:*"}, append(bucketResources(bucket), objectResources(bucket)...)},
	}
}

func bucketResources(bucket string) []string {
	return []string{"arn:aws:s3:::" + bucket, "arn:aws:s3:::" + bucket + "-*"}
}

func objectResources(bucket string) []string {
	return []string{"arn:aws:s3:::" + bucket + "/*", "arn:aws:s3:::" + bucket + "-*/*"}
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
