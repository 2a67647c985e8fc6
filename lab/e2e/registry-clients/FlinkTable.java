// Reads a record as Flink SQL would: by the columns and the options of the CREATE TABLE in a guide, through the format's own
// factory. Prints the rows of its array column; then the error without the schema option.
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.formats.avro.registry.confluent.RegistryAvroFormatFactory;
import org.apache.flink.table.connector.Projection;
import org.apache.flink.table.connector.format.ProjectableDecodingFormat;
import org.apache.flink.table.connector.source.DynamicTableSource;
import org.apache.flink.table.data.ArrayData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.runtime.typeutils.InternalTypeInfo;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.logical.ArrayType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.types.logical.utils.LogicalTypeParser;
import org.apache.flink.table.types.utils.TypeConversions;

public class FlinkTable {
  public static void main(String[] args) throws Exception {
    String url = args[0];
    String sql = Files.readString(Path.of(args[1]));
    byte[] value = Files.readAllBytes(Path.of(args[2]));
    String columns = sql.substring(sql.indexOf('(') + 1, sql.indexOf("\n) WITH ("));
    RowType row = (RowType) LogicalTypeParser.parse("ROW<" + columns + "> NOT NULL", FlinkTable.class.getClassLoader());

    Configuration options = new Configuration();
    options.setString("url", url);
    System.out.println("without the schema: " + refusalOf(row, options, value));
    options.setString("schema", optionOf(sql, "value.avro-confluent.schema"));
    RowData read = decode(row, options, value);
    for (int i = 0; i < row.getFieldCount(); i++) {
      LogicalType type = row.getTypeAt(i);
      Object field = RowData.createFieldGetter(type, i).getFieldOrNull(read);
      if (type instanceof ArrayType array) printRows((ArrayData) field, (RowType) array.getElementType());
      else System.out.println(row.getFieldNames().get(i) + ": " + field);
    }
  }

  private static String optionOf(String sql, String name) {
    Matcher option = Pattern.compile("'" + Pattern.quote(name) + "' = '([^']*)'").matcher(sql);
    if (!option.find()) throw new IllegalArgumentException("the table has no option " + name);
    return option.group(1);
  }

  private static String refusalOf(RowType row, Configuration options, byte[] value) {
    try {
      return "no refusal but " + decode(row, options, value);
    } catch (Exception error) {
      Throwable cause = error;
      while (cause.getCause() != null) cause = cause.getCause();
      return cause.getMessage();
    }
  }

  private static RowData decode(RowType row, Configuration options, byte[] value) throws Exception {
    DataType type = TypeConversions.fromLogicalToDataType(row);
    var format = (ProjectableDecodingFormat<DeserializationSchema<RowData>>)
        new RegistryAvroFormatFactory().createDecodingFormat(null, options);
    DeserializationSchema<RowData> decoder =
        format.createRuntimeDecoder(new Source(), type, Projection.range(0, row.getFieldCount()).toNestedIndexes());
    decoder.open(null);
    return decoder.deserialize(value);
  }

  private static void printRows(ArrayData rows, RowType type) {
    for (int i = 0; i < rows.size(); i++) {
      RowData row = rows.getRow(i, type.getFieldCount());
      StringBuilder line = new StringBuilder();
      for (int field = 0; field < type.getFieldCount(); field++) {
        if (field > 0) line.append(' ');
        line.append(RowData.createFieldGetter(type.getTypeAt(field), field).getFieldOrNull(row));
      }
      System.out.println(line);
    }
  }

  /** All that the format asks of the table it reads for. */
  private static class Source implements DynamicTableSource.Context {
    public TypeInformation<?> createTypeInformation(DataType type) {
      return InternalTypeInfo.of(type.getLogicalType());
    }

    public TypeInformation<?> createTypeInformation(LogicalType type) {
      return InternalTypeInfo.of(type);
    }

    public DynamicTableSource.DataStructureConverter createDataStructureConverter(DataType type) {
      throw new UnsupportedOperationException();
    }
  }
}
