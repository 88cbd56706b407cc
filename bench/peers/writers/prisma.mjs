// Prisma, createMany()
import { PrismaPg } from "@prisma/adapter-pg";
import { createRequire } from "node:module";
import { connection } from "../rows.mjs";

const { PrismaClient } = createRequire(import.meta.url)("../generated/prisma");

export async function open() {
  const prisma = new PrismaClient({ adapter: new PrismaPg({ ...connection, max: 1 }) });
  await prisma.$connect();
  return {
    write: (rows) => prisma.behaviorLog.createMany({ data: rows }),
    writeOne: (row) => prisma.behaviorLog.create({ data: row }),
    last: (user, count) => prisma.behaviorLog.findMany({
      where: { userId: user }, orderBy: { timestamp: "desc" }, take: count,
    }),
    close: () => prisma.$disconnect(),
  };
}
