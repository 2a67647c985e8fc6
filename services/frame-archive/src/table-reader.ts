import { Injectable } from "@nestjs/common";
import { ServiceReader } from "@tributary/service-kit";

/** For topics that are followed: reading a partition would otherwise wait for their long polls. */
@Injectable()
export class TableReader extends ServiceReader {}
