-- examples.sql: the tables of the example streams, as an ORM such as Prisma makes them.
--
-- `penstock dev` runs this file at every start; by hand: psql "$DATABASE_URL" -f deploy/examples.sql.
-- Running it again changes nothing. Penstock itself needs none of it: a stream is a table that is
-- there already, and these stand in for yours.
--
-- Times are TIMESTAMP(3), Prisma's default: UTC by convention, with milliseconds.

SET client_min_messages = warning; -- no "already exists, skipping" when it runs again

-- People ---------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS "User" (
    "id" UUID NOT NULL DEFAULT gen_random_uuid(),
    "email" TEXT NOT NULL,
    "passwordHash" TEXT NOT NULL,
    "name" JSONB NOT NULL,
    "role" TEXT NOT NULL DEFAULT 'STUDENT',
    "points" INTEGER NOT NULL DEFAULT 0,
    "preferredLocale" TEXT NOT NULL DEFAULT 'vi',
    "metadata" JSONB,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "User_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX IF NOT EXISTS "User_email_key" ON "User"("email");

-- Stream behavior ------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS "BehaviorLog" (
    "id" UUID NOT NULL DEFAULT gen_random_uuid(),
    "userId" UUID NOT NULL,
    "eventType" TEXT NOT NULL,
    "metadata" JSONB,
    "timestamp" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "BehaviorLog_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "BehaviorLog_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User"("id")
        ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE INDEX IF NOT EXISTS "BehaviorLog_userId_idx" ON "BehaviorLog"("userId");
CREATE INDEX IF NOT EXISTS "BehaviorLog_timestamp_idx" ON "BehaviorLog"("timestamp");

-- Stream social --------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS "SocialPost" (
    "id" UUID NOT NULL DEFAULT gen_random_uuid(),
    "userId" UUID NOT NULL,
    "groupId" UUID,
    "content" JSONB NOT NULL,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "SocialPost_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "SocialPost_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User"("id")
        ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE INDEX IF NOT EXISTS "SocialPost_userId_idx" ON "SocialPost"("userId");
CREATE INDEX IF NOT EXISTS "SocialPost_groupId_idx" ON "SocialPost"("groupId");
CREATE INDEX IF NOT EXISTS "SocialPost_createdAt_idx" ON "SocialPost"("createdAt");

-- Stream optimization --------------------------------------------------------------------------

-- The embedding is a vector(384) where pgvector can be had, and a plain array elsewhere.
DO $$
DECLARE
    embedding_type text := 'REAL[]';
BEGIN
    IF to_regclass('"OptimizationLog"') IS NOT NULL THEN
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector') THEN
        BEGIN
            CREATE EXTENSION IF NOT EXISTS vector;
            embedding_type := 'vector(384)';
        EXCEPTION WHEN insufficient_privilege THEN
            NULL; -- the array will do
        END;
    END IF;
    EXECUTE format($table$
        CREATE TABLE "OptimizationLog" (
            "id" UUID NOT NULL DEFAULT gen_random_uuid(),
            "queryText" TEXT NOT NULL,
            "recommendation" TEXT NOT NULL,
            "performanceGain" INTEGER,
            "confidence" INTEGER,
            "embedding" %s,
            "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
            "appliedAt" TIMESTAMP(3),

            CONSTRAINT "OptimizationLog_pkey" PRIMARY KEY ("id")
        )
    $table$, embedding_type);
END
$$;
CREATE INDEX IF NOT EXISTS "OptimizationLog_createdAt_idx" ON "OptimizationLog"("createdAt");

-- Streams activity and cost --------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS "Project" (
    "id" UUID NOT NULL DEFAULT gen_random_uuid(),
    "name" TEXT NOT NULL,
    "ownerId" UUID NOT NULL,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "Project_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "Project_ownerId_fkey" FOREIGN KEY ("ownerId") REFERENCES "User"("id")
        ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE INDEX IF NOT EXISTS "Project_ownerId_idx" ON "Project"("ownerId");

CREATE TABLE IF NOT EXISTS "ProjectActivity" (
    "id" UUID NOT NULL DEFAULT gen_random_uuid(),
    "projectId" UUID NOT NULL,
    "userId" UUID,
    "action" TEXT NOT NULL,
    "details" JSONB,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "ProjectActivity_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "ProjectActivity_projectId_fkey" FOREIGN KEY ("projectId") REFERENCES "Project"("id")
        ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "ProjectActivity_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User"("id")
        ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE INDEX IF NOT EXISTS "ProjectActivity_projectId_createdAt_idx"
    ON "ProjectActivity"("projectId", "createdAt");
CREATE INDEX IF NOT EXISTS "ProjectActivity_userId_idx" ON "ProjectActivity"("userId");

CREATE TABLE IF NOT EXISTS "ProjectCost" (
    "id" UUID NOT NULL DEFAULT gen_random_uuid(),
    "projectId" UUID NOT NULL,
    "category" TEXT NOT NULL,
    "amount" DECIMAL(14,2) NOT NULL,
    "currency" VARCHAR(3) NOT NULL DEFAULT 'VND',
    "note" TEXT,
    "incurredOn" DATE NOT NULL,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "ProjectCost_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "ProjectCost_projectId_fkey" FOREIGN KEY ("projectId") REFERENCES "Project"("id")
        ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE INDEX IF NOT EXISTS "ProjectCost_projectId_incurredOn_idx"
    ON "ProjectCost"("projectId", "incurredOn");

-- People and projects to try it with; nobody can log in with these hashes -----------------------

INSERT INTO "User" ("id", "email", "passwordHash", "name", "role") VALUES
    ('00000000-0000-4000-8000-000000000001', 'an@example.org', '!', '{"vi": "Nguyễn Văn An"}', 'STUDENT'),
    ('00000000-0000-4000-8000-000000000002', 'binh@example.org', '!', '{"vi": "Trần Thị Bình"}', 'STUDENT'),
    ('00000000-0000-4000-8000-000000000003', 'chi@example.org', '!', '{"vi": "Lê Chi", "en": "Chi Le"}', 'TEACHER')
ON CONFLICT DO NOTHING;

INSERT INTO "Project" ("id", "name", "ownerId") VALUES
    ('00000000-0000-4000-8000-0000000000a1', 'Riverside school',
     '00000000-0000-4000-8000-000000000003'),
    ('00000000-0000-4000-8000-0000000000a2', 'Old mill',
     '00000000-0000-4000-8000-000000000003')
ON CONFLICT DO NOTHING;

RESET client_min_messages;
